"""Classifiers beside the rules: labels, training, calibration, evaluation, persistence.

No model is shipped yet: findings carry an empty ``model_verdict`` and ``probability``, and the rules speak alone.
"""
