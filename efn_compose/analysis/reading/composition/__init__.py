"""What composed weights are made of: donor map, genomes, genealogy, origins.

Begin at `donor_map.py`.
"""
