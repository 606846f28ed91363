"""The pages of weight ranges: where weights lie, which layers quantization will break, what an optimization changed."""
