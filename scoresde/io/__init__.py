"""File formats: the sample dump and the checkpoint, and the provenance that both carry.

They know nothing of samplers. Only saving or loading a checkpoint's tensors imports torch.
"""
