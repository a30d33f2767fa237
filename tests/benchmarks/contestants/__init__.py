"""Who is measured: one module each, whose coroutines ``play(meter)`` run in a process of their own.

A contestant subscribes, calls ``meter.ready()``, and from then on counts down: that call and each
``meter.done()`` say after how many messages the next ``done()`` is due.
"""
