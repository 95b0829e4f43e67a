"""Figures of labels and predictions: functions of arrays that know no model."""
