"""The protocols that judge an encoder, and what they share."""
