"""docs/sklearn.md"""

from upweight import Influence

influence = Influence.from_sklearn(model, X, y)
print(influence.scores(X_query, y_query).top(10))
