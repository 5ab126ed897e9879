package updater

import (
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/verify"
)

// What documents name and what lies on the disk are the same bytes in two vocabularies: the packages that bring a program
// back know nothing of signatures.

func onDisk(id verify.ID) content.ID {
	return content.ID{Size: id.Size, SHA256: content.Digest(id.SHA256)}
}

func signed(id content.ID) verify.ID {
	return verify.ID{Size: id.Size, SHA256: verify.Digest(id.SHA256)}
}
