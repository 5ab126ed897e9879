// Package updater keeps the running program current: it checks a signed channel, downloads and verifies a release, proves
// that it starts, swaps the program's own executable and has it restarted, and undoes what fails.
//
//	u, err := updater.New(updater.Options{
//		App: "hello", Version: version, Key: key, Source: "https://dl.example.com/hello",
//		Restart: restarter.Handover, // of package restart; nil: the service manager restarts
//	})
//	os.Exit(u.Command(ctx, os.Args[2:]))       // hello self-update …
//	err = u.Run(ctx)                           // or in a service: on an interval, until ctx ends
//	admin, err := u.AdminServer(ln)            // GET /update, POST /update, POST /update/rollback
//	result, err := u.Update(ctx, "")           // or when you say so
//
// Three triggers share one engine: [Updater.Run] on an interval, [Updater.Handler] for an admin endpoint, [Updater.Command]
// for a command line. [New] starts nothing. How the new file becomes the running one is a function in [Options]; package
// restart offers one that loses no request.
//
// # Guarantees
//
// Whatever the network serves and wherever it is interrupted:
//
//   - nothing is installed that the release keys did not sign for this app, this version and this platform, and that the
//     channel does not offer now;
//   - there is a whole, executable file at the program's path at every instant;
//   - a release that does not start, or does not survive its restart, is put back to the version before it and not tried
//     again by itself.
//
// It does not guarantee that a release is good, and it cannot help a program that may not write the folder of its own
// executable: see the README.
//
// # Outcomes
//
// An update ends in one of a few ways, each with a name, a sentinel for errors.Is, an exit code of Command, and an answer to
// whose fault it is; [Outcome] has them, and doc/recovery.md lists them. Errors are [*Error]: where it stopped, for which
// version, and why. [Event] is for what an operator counts or is told of.
package updater
