"""Which version of the SDK this API is that of."""

__version__ = "1.5.2"

#: The version of the C interface behind it.
shipped_c_stub_version = "1.7.1"
