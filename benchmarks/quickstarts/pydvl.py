"""https://pypi.org/project/pyDVL/0.10.0/"""

from pydvl.influence.torch import DirectInfluence

influence = DirectInfluence(model, nn.CrossEntropyLoss(), regularization=0.01)
influence = influence.fit(DataLoader(TensorDataset(X, y), batch_size=100))
scores = influence.influences(X_query, y_query, X, y)
print(scores[0].topk(10).indices)
