"""Faults as frozen data, their triggers, and the schedule that fires them."""
