"""The HTTP door of Onefold: webhooks come in here, because providers speak HTTP and the services speak gRPC."""
