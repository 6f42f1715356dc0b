"""https://github.com/pomonam/kronfluence"""

from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.task import Task


class Classification(Task):
    def compute_train_loss(self, batch, model, sample=False):
        inputs, labels = batch
        logits = model(inputs)
        if sample:
            labels = torch.multinomial(logits.detach().softmax(dim=1), 1).flatten()
        return nn.functional.cross_entropy(logits, labels, reduction="sum")

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)


task = Classification()
model = prepare_model(model=model, task=task)
analyzer = Analyzer(analysis_name="rows", model=model, task=task)
analyzer.fit_all_factors(factors_name="factors", dataset=TensorDataset(X, y))
analyzer.compute_pairwise_scores(
    scores_name="scores",
    factors_name="factors",
    query_dataset=TensorDataset(X_query, y_query),
    train_dataset=TensorDataset(X, y),
    per_device_query_batch_size=len(X_query),
)
scores = analyzer.load_pairwise_scores(scores_name="scores")["all_modules"]
print(scores[0].topk(10).indices)
