"""Networks: from a batch of prepared images to logits."""
