"""The tests of a third party run in its own environment: ``tests/integration/test_third_party.py`` does that."""

collect_ignore_glob = ["*_plugin/*"]
