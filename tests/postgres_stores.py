"""What tests of the PostgreSQL store do to it."""

import threading

from coherence.contents import Limits, check_content
from coherence.states import HomeState
from coherence.stores.port import Entry, HomeRow


def publish(store, name, content, author="ann", previous=None):
    """Publish the next version in a transaction of its own."""
    handle = check_content(content, Limits())
    with store.transaction(publishes=True) as tx:
        stored = tx.load(name)
        version = 1 if stored is None else stored.row.state.version + 1
        state = HomeState(version=version, content=handle)
        tx.save(name, HomeRow(state), stored.revision if stored else 0)
        tx.publish(name, Entry(version, handle, author, tx.now), content, previous)
        tx.append(name, version, author, ())
    return version


def waiting(store, seq):
    """A thread that waits for the log to grow."""
    thread = threading.Thread(target=store.wait, args=(seq, 90))
    thread.start()
    return thread


def ends(thread):
    """Whether it comes to its end."""
    thread.join(60)
    return not thread.is_alive()
