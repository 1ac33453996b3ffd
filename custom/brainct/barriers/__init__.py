"""Loss barriers between models, layer by layer; reads finished runs and comparisons."""
