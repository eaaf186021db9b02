"""What a run's papers say, and how they are written: pages, pictures, a model card."""
