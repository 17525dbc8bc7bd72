"""Writers of foreign containers, for `export`: PyTorch zips and safetensors."""
