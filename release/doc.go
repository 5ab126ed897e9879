// Package release answers: what is on offer, and is it for me?
package release
