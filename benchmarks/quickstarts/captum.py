"""https://github.com/meta-pytorch/captum/releases/tag/v0.8.0"""

from captum.influence._core.arnoldi_influence_function import ArnoldiInfluenceFunction

torch.save(model.state_dict(), "model.pt")
influence = ArnoldiInfluenceFunction(
    model, TensorDataset(X, y), "model.pt", loss_fn=nn.CrossEntropyLoss(reduction="none"), batch_size=100
)
print(influence.influence((X_query, y_query), k=10).indices[0])
