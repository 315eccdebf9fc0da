"""Do learning rates predicted from the graph agree with searched ones? (Chen et al., ICLR 2024)."""
