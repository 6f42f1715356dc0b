"""Which labels look wrong: signals, their trial on labels flipped on purpose, the order that follows; `review`."""
