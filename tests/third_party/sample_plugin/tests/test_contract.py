"""The plugin against the contract that aimet-hooks ships for its plugins."""

import aimet_hooks_sample_plugin

from aimet_hooks.testing import PluginContract


class TestSamplePlugin(PluginContract):
    """Nothing but the plugin is ours."""

    name = "sample"

    def make_plugin(self) -> object:
        """The module that the entry point names."""
        return aimet_hooks_sample_plugin
