//go:build !unix

package swap

func isReadOnly(err error) bool          { return false }
func isFull(err error) bool              { return false }
func isOtherMount(err error) bool        { return false }
func (t *Target) place(need int64) error { return nil }
func (t *Target) room(need int64) error  { return nil }
