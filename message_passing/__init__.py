"""The shared core: what a process is, and what drives one.  It imports nothing else of ours.

Read in this order; each module imports only those above it::

    process     the contract: events in, commands out, one pure step function
    network     what a network promises, by name
    errors      one tree: whose fault, and what to do
    interrupts  locks, waits and thread starts that a signal's exception cannot wedge
    forks       what a forked child shares with its parent and must not use
    background  work beside the calls of an application, in threads or driven by a test
    ports       what a driver takes from outside, and the errors that drivers share
    clocks      a name for a clock, which files of several processes carry
    turn        one turn of a driver: due timers first; what is durable before what is sent
    canonical   one value, one sequence of bytes
    wire        envelopes as bytes, checked before any step
    netmodel    a network that can be simulated: latency, loss, copies, reordering
    oracle      a read-only view of a simulation, for oracles
    simulator   the driver for tests and studies: seeded queue, virtual time
    faults      plans of crashes, pauses and partitions for it
    postgres_address  the address of a PostgreSQL database, and errors without its secrets
    public      the path by which tracebacks name a public class
    tables      tables that are wider than a terminal
    console     shared by command lines: writing to a pipe, exit codes of errors, imports
    commands    command lines made with typer: one form of help, errors and exit codes
    workers     processes of a command that end with it
    chart       message-sequence charts as text
    trace       a line of JSON a step, and back
    show        the command that draws a trace:  coherence trace FILE

The names below are those of the modules up to `simulator`.  The others are imported by module, so
that a program loads no command line that it does not use.
"""

from message_passing.canonical import Unencodable, canonical, digest
from message_passing.errors import (
    CallerError,
    Defect,
    EnvironmentFault,
    Impossible,
    PeerError,
    ToolkitError,
)
from message_passing.netmodel import (
    BadNetwork,
    Constant,
    Exponential,
    LogNormal,
    NetworkModel,
    PerMessage,
    Uniform,
)
from message_passing.network import Guarantee
from message_passing.oracle import Observer, View
from message_passing.ports import (
    BrokenContract,
    Busy,
    Clock,
    NoSuchProcess,
    Reentrant,
    Trace,
    Unavailable,
)
from message_passing.process import (
    Address,
    CancelTimer,
    Command,
    Deliver,
    Envelope,
    Event,
    Invoke,
    Process,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Time,
    Timeout,
    Value,
)
from message_passing.simulator import Simulator
from message_passing.wire import (
    BadCodec,
    Codec,
    Damaged,
    Malformed,
    Oversized,
    TooLarge,
    UnknownVersion,
)

__all__ = [
    "Address",
    "BadCodec",
    "BadNetwork",
    "BrokenContract",
    "Busy",
    "CallerError",
    "CancelTimer",
    "Clock",
    "Codec",
    "Command",
    "Constant",
    "Damaged",
    "Defect",
    "Deliver",
    "Envelope",
    "EnvironmentFault",
    "Event",
    "Exponential",
    "Guarantee",
    "Impossible",
    "Invoke",
    "LogNormal",
    "Malformed",
    "NetworkModel",
    "NoSuchProcess",
    "Observer",
    "Oversized",
    "PeerError",
    "PerMessage",
    "Process",
    "Receive",
    "Reentrant",
    "Respond",
    "Restart",
    "Send",
    "SetTimer",
    "Simulator",
    "Step",
    "Time",
    "Timeout",
    "TooLarge",
    "ToolkitError",
    "Trace",
    "Unavailable",
    "Unencodable",
    "Uniform",
    "UnknownVersion",
    "Value",
    "View",
    "canonical",
    "digest",
]
