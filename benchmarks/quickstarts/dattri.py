"""https://github.com/TRAIS-Lab/dattri"""

from dattri.algorithm import IFAttributorCG
from dattri.task import AttributionTask


def loss(params, batch):
    inputs, labels = batch
    return nn.functional.cross_entropy(torch.func.functional_call(model, params, inputs), labels)


rows = DataLoader(TensorDataset(X, y), batch_size=len(X))
queries = DataLoader(TensorDataset(X_query, y_query), batch_size=len(X_query))
task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
attributor = IFAttributorCG(task=task, max_iter=10, regularization=1e-2)
attributor.cache(rows)
with torch.no_grad():
    scores = attributor.attribute(rows, queries)
print(scores[:, 0].topk(10).indices)
