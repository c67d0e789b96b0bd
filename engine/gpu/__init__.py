"""The step on a GPU: the network and the sampler as fused kernels over tensors that stay there."""
