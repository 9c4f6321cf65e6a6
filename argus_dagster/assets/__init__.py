"""The assets, one file per noun, each beside its checks."""
