"""https://pypi.org/project/pyinfluence/"""

from pyinfluence import influence, top_influential

scores = influence(model, X, y, X_query, y_query)
print(top_influential(scores[0], k=10))
