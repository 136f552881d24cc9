"""The wire of Upstox's developer API: protobuf feed, REST paths, limits and error codes.

``market_data_feed_pb2.py`` and its ``.pyi`` are generated from ``market_data_feed.proto``. After a change of
that file, from the root of the repository::

    uv run python -m grpc_tools.protoc -I. --python_out=. --mypy_out=. \
quant_platform/protocol/upstox/market_data_feed.proto
"""
