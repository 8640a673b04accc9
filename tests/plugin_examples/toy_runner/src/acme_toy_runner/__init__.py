"""A toy: stands for an engine that hands the steps of a workflow to the machines of a cluster."""
