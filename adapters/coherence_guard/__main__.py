"""``python -m coherence_guard``: the script `coherence-guard`."""

from coherence_guard.hook import main

main()
