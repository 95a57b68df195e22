"""The same Runtime on stock asyncio, sockets and files."""
