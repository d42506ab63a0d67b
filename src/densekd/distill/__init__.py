"""What happens in one training step: taps, adapters, terms, the frozen teacher, optimizers, the Distiller."""
