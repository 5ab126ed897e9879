// Package updater keeps the running program current: it checks a signed
// channel, downloads and verifies a release, proves that it starts, swaps the
// program's own executable and has it restarted, and undoes what fails.
//
// It guarantees, whatever the network serves and wherever it is interrupted:
//
//   - nothing is installed that the release keys did not sign for this app,
//     this version and this platform, and that the channel does not offer now;
//   - there is a whole, executable file at the program's path at every instant;
//   - a release that does not start, or does not survive its restart, is put
//     back to the version before it and not tried again by itself.
//
// It does not guarantee that a release is good, and it cannot help a program
// that may not write the folder of its own executable: see the README.
//
// Three triggers share one engine: [Updater.Run] on an interval,
// [Updater.Handler] for an admin endpoint, [Updater.Command] for a command
// line. [New] starts nothing. How the new file becomes the running one is a
// function in [Options]; package restart offers one that loses no request.
package updater
