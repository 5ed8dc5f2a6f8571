"""What reading an IFC model takes: container, text, units, structure, geometry, and a process of its own.

Everything that touches ifcopenshell runs in a child process (`worker`), because its geometry kernels may
crash, hang or take all memory on real models. `process` starts it; `ingest.formats.ifc` makes layers of what
it hands back.
"""
