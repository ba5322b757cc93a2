"""What the generated reference is made of: events, HTTP routes, gRPC methods."""
