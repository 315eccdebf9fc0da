"""Do skip connections with larger singular values train faster? (MacDonald et al., NeurIPS 2023)."""
