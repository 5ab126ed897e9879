// Package fleet lets one machine of many go first, then a few, then the rest, and none once they fail.
//
// A [Coordinator] keeps groups of machines in a [Store] and decides by each group's [Policy]; [Handler] serves it. The
// protocol is FleetLock, as other servers and clients speak it, with members added that they ignore: a machine asks before
// it updates itself, and reports when it runs healthily or has gone back. [Client] is the machine's side.
//
//	c, err := fleet.New(fleet.Options{Store: store, Groups: []fleet.Group{{
//		Name: "web", Policy: policy, // canary 5, soak 1h, then 10 %, then all; max 5 % at once; halt after 3 failures
//	}}})
//	go c.Run(ctx)
//	http.Handle("/", fleet.Handler(c, fleet.Access{Operators: []string{token}}))
//
// A machine that does not report in time has failed, and its slot stays taken. Were it freed, a release that kills machines
// would walk through the whole group, as fast as slots come free. A late report takes the failure back. Enough failures
// halt the group, and a halt ends only when somebody resumes it.
//
// A coordinator can only withhold. What is installed is decided by signatures that it has no part in: one that is taken
// over can delay an update, or let everybody go at once, and nothing else.
//
// Several coordinators may work on one store, and know nothing of each other. Their clocks should agree to within a tenth of
// the shortest deadline.
package fleet
