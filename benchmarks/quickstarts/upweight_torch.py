"""docs/torch.md"""

from upweight import Influence

influence = Influence.from_torch(model, nn.CrossEntropyLoss(reduction="none"), (X, y))
print(influence.scores(X_query, y_query).top(10))
