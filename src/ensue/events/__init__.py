"""From any source to one event log: canonical columns, checked, in order, with every bad row accounted for."""
