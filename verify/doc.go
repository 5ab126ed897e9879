// Package verify answers one question: who signed these bytes?
package verify
