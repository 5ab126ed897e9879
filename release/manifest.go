package release

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/theseus-go/theseus/internal/name"
	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/verify"
)

// Manifest is one immutable release: what it is made of, per platform. It names no channel, so that promoting a release
// from one channel to another needs no release key.
type Manifest struct {
	App       string
	Version   *semver.Version
	Date      time.Time       // UTC, whole seconds
	Notes     string          // for people; at most 64 KiB
	Minimum   *semver.Version // the lowest version that may update to this one directly; nil: any
	Requires  []string        // names that a client must know; SignManifest writes its own
	Artifacts []Artifact      // sorted by platform, one of each

	// Attachments are files about the release: bills of materials, provenance, signatures of others. Nothing is decided
	// by them. Sorted by name.
	Attachments []Attachment

	ID verify.ID // identity of the text; set by OpenManifest, ignored by SignManifest
}

// Platform is what a file runs on: GOOS, GOARCH, and whatever else the publisher tells apart (a libc, a CPU level).
type Platform struct{ OS, Arch, Variant string }

func (p Platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Arch+"/"+p.Variant, "/")
}

// Artifact is the installed file for one platform and the downloads that lead to it.
type Artifact struct {
	Platform
	File      verify.ID  // the installed file
	Downloads []Download // whole files first
	Requires  []string   // names that a client must know
}

// Attachment is a file about a release, for people and their tools. It is as genuine as the manifest, and no more is
// known of it.
type Attachment struct {
	Name string    // as a file name; no two differ by case alone
	Type string    // media type; "" if nobody says
	File verify.ID // stored at FilePath(File.SHA256, "")
}

// Path returns where a repository keeps the attachment.
func (a Attachment) Path() string { return FilePath(a.File.SHA256, "") }

// Download is one way to get an artifact.
type Download struct {
	Encoding string         // "" (the file itself), Zstd or Delta; another one is not on offer to this version of Theseus
	From     *verify.Digest // for Delta: SHA-256 of the installed file that it starts from
	Stored   verify.ID      // the stored bytes: what is downloaded, and checked before anything decodes it
	Requires []string       // names that a client must know
}

// Members that keep some clients from a release, one of its artifacts or downloads, sorted by name.
var (
	manifestRestrictions = []restriction[Manifest]{
		{"minimum", func(m *Manifest) bool { return m.Minimum != nil }},
	}
	artifactRestrictions []restriction[Artifact]
	downloadRestrictions []restriction[Download]
)

// Path is where a repository keeps the stored bytes.
func (d Download) Path() string { return FilePath(d.Stored.SHA256, d.Encoding) }

const (
	// MaxFile is the largest file that a manifest can name, in bytes: 8 GiB.
	MaxFile = 8 << 30

	maxArtifacts   = 256
	maxDownloads   = 64
	maxAttachments = 64

	maxAttachmentName = 128 // bytes
)

type (
	manifestBody struct {
		App       string         `json:"app"`
		Version   string         `json:"version"`
		Date      verify.Time    `json:"date"`
		Notes     string         `json:"notes,omitzero"`
		Minimum   string         `json:"minimum,omitzero"`
		Requires  []string       `json:"requires,omitzero"`
		Artifacts []artifactBody `json:"artifacts"`

		Attachments []attachmentBody `json:"attachments,omitzero"`
	}
	attachmentBody struct {
		Name   string        `json:"name"`
		Type   string        `json:"type,omitzero"`
		Size   int64         `json:"size"`
		SHA256 verify.Digest `json:"sha256"`
	}
	artifactBody struct {
		OS        string         `json:"os"`
		Arch      string         `json:"arch"`
		Variant   string         `json:"variant,omitzero"`
		Size      int64          `json:"size"`
		SHA256    verify.Digest  `json:"sha256"`
		Requires  []string       `json:"requires,omitzero"`
		Downloads []downloadBody `json:"downloads"`
	}
	downloadBody struct {
		Encoding string         `json:"encoding,omitzero"`
		From     *verify.Digest `json:"from,omitzero"`
		Size     int64          `json:"size"`
		SHA256   verify.Digest  `json:"sha256"`
		Requires []string       `json:"requires,omitzero"`
	}
)

// OpenManifest checks that the text of a manifest is the one that the channel's entry names, then its signatures,
// parses it strictly and compares app and version. The errors are those of verify.Open, ErrID, ErrMalformed,
// ErrAmbiguous, ErrApp and ErrVersion.
func OpenManifest(file []byte, keys verify.Keys, app string, e Entry) (*Manifest, error) {
	fail := func(err error) (*Manifest, error) { return nil, fmt.Errorf("manifest of %s: %w", e.Version, err) }
	text, _, err := verify.Split(file)
	if err != nil {
		return fail(err)
	}
	if id := verify.IDOf(text); id != e.Manifest {
		return fail(fmt.Errorf("%w: %d bytes with SHA-256 %s, and it names %d bytes with %s: another release's manifest, or a changed one",
			ErrID, id.Size, id.SHA256, e.Manifest.Size, e.Manifest.SHA256))
	}
	d, err := verify.Open(file, verify.TypeManifest, keys)
	if err != nil {
		return fail(err)
	}
	var body manifestBody
	if err := d.Decode(&body); err != nil {
		return fail(err)
	}
	m, err := body.manifest()
	if err != nil {
		return fail(err)
	}
	if m.App != app {
		return fail(fmt.Errorf("%w: it is of %q, and this is %q: one key is used for two programs", ErrApp, m.App, app))
	}
	if m.Version.String() != e.Version.String() {
		return fail(fmt.Errorf("%w: it says %s: an old release with a new label", ErrVersion, m.Version))
	}
	m.ID = d.ID()
	return m, nil
}

// SignManifest writes the one form of a manifest and signs it. It accepts exactly what OpenManifest would, sorts
// artifacts and downloads and lists what restricts under requires by itself; the date is cut to whole seconds. m is not
// changed.
func SignManifest(m *Manifest, signers ...verify.Signer) (file []byte, err error) {
	body, err := m.body()
	if err != nil {
		return nil, err
	}
	if _, err := body.manifest(); err != nil {
		return nil, err
	}
	return verify.Sign(verify.TypeManifest, body, signers...)
}

// Artifact chooses the file for a platform: the one of exactly this variant, otherwise the one without a variant, which
// runs on every machine of that OS and architecture. Another variant is never chosen. ErrNoArtifact if there is none.
func (m *Manifest) Artifact(p Platform) (*Artifact, error) {
	for _, variant := range []string{p.Variant, ""} {
		for i := range m.Artifacts {
			if m.Artifacts[i].Platform == (Platform{p.OS, p.Arch, variant}) {
				return &m.Artifacts[i], nil
			}
		}
	}
	return nil, fmt.Errorf("release %s of %s: %w: %s", m.Version, m.App, ErrNoArtifact, p)
}

func (b *manifestBody) manifest() (*Manifest, error) {
	if err := ValidApp(b.App); err != nil {
		return nil, malformed("%w", err)
	}
	v, err := ParseVersion(b.Version)
	if err != nil {
		return nil, malformed("%w", err)
	}
	m := &Manifest{App: b.App, Version: v, Date: b.Date.Time, Notes: b.Notes, Requires: b.Requires}
	if len(m.Notes) > maxNotes || !text.Honest(m.Notes, "\n\t") {
		return nil, malformed("notes: at most %d bytes without control characters", maxNotes)
	}
	if b.Minimum != "" {
		if m.Minimum, err = ParseVersion(b.Minimum); err != nil {
			return nil, malformed("minimum: %w", err)
		}
		if !m.Minimum.LessThan(v) {
			return nil, malformed("minimum %s is not below the version, %s: nobody could update to it", m.Minimum, v)
		}
	}
	if err := checkRequires("manifest", m.Requires, manifestRestrictions, m); err != nil {
		return nil, err
	}
	if len(b.Artifacts) < 1 || len(b.Artifacts) > maxArtifacts {
		return nil, malformed("%d artifacts: want 1 to %d", len(b.Artifacts), maxArtifacts)
	}
	for _, ab := range b.Artifacts {
		a, err := ab.artifact()
		if err != nil {
			return nil, err
		}
		m.Artifacts = append(m.Artifacts, *a)
	}
	order(m.Artifacts, byPlatform)
	for i := 1; i < len(m.Artifacts); i++ {
		if p := m.Artifacts[i].Platform; p == m.Artifacts[i-1].Platform {
			return nil, ambiguous("two artifacts for %s", p)
		}
	}
	return m, b.attach(m)
}

// attach checks the attachments and adds them to m.
func (b *manifestBody) attach(m *Manifest) error {
	if len(b.Attachments) > maxAttachments {
		return malformed("%d attachments: want at most %d", len(b.Attachments), maxAttachments)
	}
	seen := map[string]bool{}
	for _, ab := range b.Attachments {
		what := fmt.Sprintf("attachment %.70q", ab.Name)
		lower := strings.ToLower(ab.Name)
		switch {
		case !name.Word(lower, maxAttachmentName) || !name.File(lower):
			return malformed("%s: want 1 to %d of letters, digits, '.', '_', '-', a letter or digit first, and no device name of Windows", what, maxAttachmentName)
		case seen[lower]:
			return ambiguous("%s is there twice, or twice but for case", what)
		case ab.Type != "" && !mediaType(ab.Type):
			return malformed("%s: type %.40q: want a media type such as application/json", what, ab.Type)
		}
		if err := checkSize(what, ab.Size); err != nil {
			return err
		}
		seen[lower] = true
		m.Attachments = append(m.Attachments, Attachment{ab.Name, ab.Type, verify.ID{Size: ab.Size, SHA256: ab.SHA256}})
	}
	order(m.Attachments, byName)
	return nil
}

func (b *artifactBody) artifact() (*Artifact, error) {
	a := &Artifact{Platform: Platform{b.OS, b.Arch, b.Variant}, File: verify.ID{Size: b.Size, SHA256: b.SHA256}, Requires: b.Requires}
	if !name.Word(a.OS, 32) || !name.Word(a.Arch, 32) || a.Variant != "" && !name.Word(a.Variant, 32) {
		return nil, malformed("platform %.100q: OS, architecture and variant have 1 to 32 of a-z, 0-9, '.', '_', '-'", a.Platform)
	}
	what := "artifact " + a.Platform.String()
	if err := checkSize(what, a.File.Size); err != nil {
		return nil, err
	}
	if err := checkRequires(what, a.Requires, artifactRestrictions, a); err != nil {
		return nil, err
	}
	if len(b.Downloads) < 1 || len(b.Downloads) > maxDownloads {
		return nil, malformed("%s: %d downloads: want 1 to %d", what, len(b.Downloads), maxDownloads)
	}
	for _, db := range b.Downloads {
		d, err := db.download(what, a.File)
		if err != nil {
			return nil, err
		}
		a.Downloads = append(a.Downloads, *d)
	}
	order(a.Downloads, wholeFirst)
	for i := 1; i < len(a.Downloads); i++ {
		if wholeFirst(a.Downloads[i-1], a.Downloads[i]) == 0 {
			return nil, ambiguous("%s: two downloads of one kind", what)
		}
	}
	return a, nil
}

func (b *downloadBody) download(what string, file verify.ID) (*Download, error) {
	d := &Download{Encoding: b.Encoding, From: b.From, Stored: verify.ID{Size: b.Size, SHA256: b.SHA256}, Requires: b.Requires}
	if d.Encoding != "" && !name.Word(d.Encoding, 32) {
		return nil, malformed("%s: encoding %.40q", what, d.Encoding)
	}
	if err := checkSize(what+": download", d.Stored.Size); err != nil {
		return nil, err
	}
	if err := checkRequires(what+": download", d.Requires, downloadRestrictions, d); err != nil {
		return nil, err
	}
	switch d.Encoding {
	case "":
		if d.Stored != file {
			return nil, malformed("%s: a download without an encoding is the file itself, but size or SHA-256 differ", what)
		}
	case Delta:
		if d.From == nil || *d.From == file.SHA256 {
			return nil, malformed("%s: a delta starts from another file, named by from", what)
		}
	}
	if d.From != nil && (d.Encoding == "" || d.Encoding == Zstd) {
		return nil, malformed("%s: only a delta starts from another file", what)
	}
	return d, nil
}

// unusable says why this version of Theseus cannot use the download, or "".
func (d Download) unusable() string {
	if d.Encoding != "" && d.Encoding != Zstd && d.Encoding != Delta {
		return fmt.Sprintf("encoding %s is not known", d.Encoding)
	}
	if u := unknown(d.Requires, names(downloadRestrictions)); u != nil {
		return "requires " + strings.Join(u, ", ") + ", which is not known"
	}
	return ""
}

func (m *Manifest) body() (b manifestBody, err error) {
	if m.Version == nil {
		return b, malformed("a manifest without a version")
	}
	b = manifestBody{App: m.App, Version: m.Version.String(), Date: second(m.Date), Notes: m.Notes}
	if m.Minimum != nil {
		b.Minimum = m.Minimum.String()
	}
	if b.Requires, err = listRequires("manifest", m.Requires, manifestRestrictions, m); err != nil {
		return b, err
	}
	for _, a := range slices.SortedStableFunc(slices.Values(m.Artifacts), byPlatform) {
		ab := artifactBody{OS: a.OS, Arch: a.Arch, Variant: a.Variant, Size: a.File.Size, SHA256: a.File.SHA256}
		if ab.Requires, err = listRequires("artifact "+a.Platform.String(), a.Requires, artifactRestrictions, &a); err != nil {
			return b, err
		}
		for _, d := range slices.SortedStableFunc(slices.Values(a.Downloads), wholeFirst) {
			db := downloadBody{Encoding: d.Encoding, From: d.From, Size: d.Stored.Size, SHA256: d.Stored.SHA256}
			if db.Requires, err = listRequires("download", d.Requires, downloadRestrictions, &d); err != nil {
				return b, err
			}
			ab.Downloads = append(ab.Downloads, db)
		}
		b.Artifacts = append(b.Artifacts, ab)
	}
	for _, a := range slices.SortedStableFunc(slices.Values(m.Attachments), byName) {
		b.Attachments = append(b.Attachments, attachmentBody{a.Name, a.Type, a.File.Size, a.File.SHA256})
	}
	return b, nil
}

func byName(a, b Attachment) int { return cmp.Compare(a.Name, b.Name) }

func byPlatform(a, b Artifact) int {
	return cmp.Or(cmp.Compare(a.OS, b.OS), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Variant, b.Variant))
}

// wholeFirst sorts downloads: the file itself, compressed, deltas, others. Two that are equal by it would leave a
// client to choose by chance.
func wholeFirst(a, b Download) int {
	from := func(d Download) string {
		if d.From == nil {
			return ""
		}
		return d.From.String()
	}
	return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Encoding, b.Encoding), cmp.Compare(from(a), from(b)),
		slices.Compare(a.Requires, b.Requires))
}

func (d Download) rank() int {
	switch d.Encoding {
	case "":
		return 0
	case Zstd:
		return 1
	case Delta:
		return 2
	}
	return 3
}

func checkSize(what string, size int64) error {
	if size < 1 || size > MaxFile {
		return malformed("%s: %d bytes: want 1 to %d", what, size, int64(MaxFile))
	}
	return nil
}
