package restart

// What the two ends of a link say. A kind that the other side does not know is ignored by it, so a new kind only has to be
// announced (msgVersion) if somebody waits for the answer.

// Messages of the predecessor. It says nothing before the successor has said hello.
const (
	msgTerms   = 't' // text: the probation, in milliseconds
	msgOlder   = 'o' // text: how many processes before me have not exited
	msgTicket  = 'y' // text: a key for TLS session tickets
	msgState   = 'S' // text: the name of a state, a zero byte, the next part of it
	msgYours   = 'e' // I have let go of what is exclusive
	msgFree    = 'f' // my workers have ended, run yours
	msgStop    = 'x' // stop, I do too
	msgRecall  = 'r' // give back what you have and go
	msgGranted = 'g' // commit: I shall neither recall nor kill you from now on
	msgHangup  = 'h' // a signal asked me for a handover: it is yours to carry out
)

// Messages of the successor.
const (
	msgHello   = 'p' // text: my process id
	msgWaiting = 'q' // I could serve, and wait for what is exclusive
	msgServing = 's' // I serve
	msgWell    = 'w' // I am well; every second of the probation
	msgProved  = 'd' // my probation is over: may I commit?
	msgBack    = 'b' // I leave, and give back what I have; text: why, empty if I was told to
)

// Messages of both.
const (
	msgSocket     = 'l' // predecessor: a socket that I pass, and its address; successor: one that I have taken over
	msgVersion    = 'v' // text: the version of the protocol, and what the sender can (see ourAbilities)
	msgServer     = 'k' // text: the key of a server that adopts connections here
	msgConn       = 'c' // a connection for the server with the key in text; for those that cannot confirm
	msgConnection = 'C' // the same; text: a number and the key. The answer is one of the next two
	msgTaken      = 'a' // text: the number of a connection that has been adopted
	msgRefused    = 'n' // text: the number of a connection that has not, and stays with its sender
)

// What a process can, besides the messages of version 1.
const (
	confirms     = "confirm" // answers msgConnection
	yields       = "yield"   // as a predecessor answers msgWaiting
	namesSockets = "sockets" // as a successor names those that it takes over
	grants       = "grant"   // as a successor asks before it commits, as a predecessor answers
)

// ourAbilities is the text of our msgVersion.
const ourAbilities = "2 " + confirms + " " + grants + " " + namesSockets + " " + yields

// maxText is how many bytes a text may have.
const maxText = 509

// linkName is the name under which the successor's end is inherited.
const linkName = "theseus-link"
