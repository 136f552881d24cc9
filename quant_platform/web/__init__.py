"""What the platform answers over HTTP; a host composes it with adapters."""
