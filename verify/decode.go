package verify

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Caps of the JSON object, held before anything is allocated for it. A manifest of the greatest size with a real
// artifact for every 400 bytes stays under the second.
const (
	maxDepth  = 16      // objects and arrays within each other
	maxValues = 1 << 16 // members and elements in all
	maxNumber = 1<<53 - 1
)

// Decode parses the verified JSON object strictly into the struct that v points to. The struct is the schema: a field
// without omitzero or omitempty is a required member. On an error the struct is unchanged.
//
// These are ErrMalformed: a duplicate name; a name that equals a known one but for case; null; a number that is not an
// integer from 0 to 2^53-1 in its shortest form (no sign, fraction, exponent or leading zero); invalid UTF-8 and lone
// surrogates; more than 16 levels or 65,536 values; anything after the object; a value that does not fit its field.
// Other members are ignored, but the rules on null, numbers and size hold within them too.
func (d *Document) Decode(v any) error {
	_, object, _ := bytes.Cut(d.Text, []byte("\n"))
	return decode(object, v)
}

func decode(object []byte, v any) error {
	into := reflect.ValueOf(v)
	if into.Kind() != reflect.Pointer || into.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decoding into %T, which is not a pointer to a struct", v)
	}
	fresh := reflect.New(into.Elem().Type())

	// What the json package would let pass: null, other numbers, other letter case, depth, members that are missing.
	w := tokens{Decoder: jsontext.NewDecoder(bytes.NewReader(object)), schemas: map[reflect.Type]schema{}}
	if err := w.value(fresh.Type().Elem()); err != nil {
		return err
	}
	if _, err := w.ReadToken(); err != io.EOF {
		return refuse(ErrMalformed, "there is something after the JSON object")
	}

	// What it finds itself: duplicates, bad UTF-8, values of the wrong kind. v changes only if all is well.
	if err := json.Unmarshal(object, fresh.Interface()); err != nil {
		return misfit(err)
	}
	into.Elem().Set(fresh.Elem())
	return nil
}

// tokens goes once over the tokens of an object, beside the type that they are for, and finds what the json package
// lets pass.
type tokens struct {
	*jsontext.Decoder
	values  int
	schemas map[reflect.Type]schema
}

// schema is the members of an object: by name, their type and whether they are required.
type schema map[string]struct {
	typ      reflect.Type
	required bool
}

// value reads one value for the type t; nil is a type without schema.
func (w *tokens) value(t reflect.Type) error {
	if w.values++; w.values > maxValues {
		return refuse(ErrMalformed, "the JSON object has more than %d values", maxValues)
	}
	token, err := w.ReadToken()
	if err != nil {
		return w.bad(err)
	}
	t = schemaOf(t)
	switch token.Kind() {
	case 'n':
		return w.bad(errors.New("null is not allowed"))
	case '0':
		if !canonical(token.String()) {
			return w.bad(fmt.Errorf("%.40s is not an integer from 0 to 2^53-1 in its shortest form", token))
		}
	case '{', '[':
		if w.StackDepth() > maxDepth {
			return w.bad(fmt.Errorf("more than %d levels", maxDepth))
		}
		if token.Kind() == '[' {
			return w.array(t)
		}
		return w.object(t)
	}
	return nil
}

func (w *tokens) array(t reflect.Type) error {
	var element reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		element = t.Elem()
	}
	for w.PeekKind() != ']' {
		if err := w.value(element); err != nil {
			return err
		}
	}
	return w.end()
}

func (w *tokens) object(t reflect.Type) error {
	var known schema
	var element reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		known = w.schema(t)
	} else if t != nil && t.Kind() == reflect.Map {
		element = t.Elem()
	}
	seen := map[string]bool{}
	for w.PeekKind() != '}' {
		token, err := w.ReadToken()
		if err != nil {
			return w.bad(err)
		}
		name, member := token.String(), element
		if field, ok := known[name]; ok {
			seen[name], member = true, field.typ
		} else {
			for k := range known {
				if strings.EqualFold(k, name) {
					return w.bad(fmt.Errorf("member %+.40q is %q in other letters", name, k))
				}
			}
		}
		if err := w.value(member); err != nil {
			return err
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	for k, field := range known {
		if field.required && !seen[k] {
			return w.bad(fmt.Errorf("member %q is missing", k))
		}
	}
	return nil
}

func (w *tokens) end() error {
	if _, err := w.ReadToken(); err != nil {
		return w.bad(err)
	}
	return nil
}

// bad adds the JSON path to err. Names in it come from outside, and are quoted and cut.
func (w *tokens) bad(err error) error {
	if syntax := (*jsontext.SyntacticError)(nil); errors.As(err, &syntax) {
		err = syntax.Err // without its own idea of where
	}
	return refuseAt(w.StackPointer(), err)
}

func refuseAt(at jsontext.Pointer, err error) error {
	return refuse(ErrMalformed, "the JSON object is refused at %+.100q: %.200s", "/"+strings.TrimPrefix(string(at), "/"), err)
}

// misfit adds the JSON path to what the json package finds when it fills the struct.
func misfit(err error) error {
	semantic := (*json.SemanticError)(nil)
	if !errors.As(err, &semantic) {
		return refuseAt("", err)
	}
	err = semantic.Err
	if err == nil {
		err = fmt.Errorf("a JSON %s does not fit", semantic.JSONKind)
	}
	return refuseAt(semantic.JSONPointer, err)
}

func (w *tokens) schema(t reflect.Type) schema {
	if s, ok := w.schemas[t]; ok {
		return s
	}
	s := schema{}
	s.add(t)
	w.schemas[t] = s
	return s
}

func (s schema) add(t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if embedded := schemaOf(f.Type); f.Anonymous && name == "" && embedded != nil && embedded.Kind() == reflect.Struct {
			s.add(embedded)
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		field := s[name]
		field.typ = f.Type
		field.required = !strings.Contains(options, "omitzero") && !strings.Contains(options, "omitempty")
		s[name] = field
	}
}

// schemaOf follows pointers, and returns nil for a type that unmarshals itself and so is its own schema.
func schemaOf(t reflect.Type) reflect.Type {
	for ; t != nil; t = t.Elem() {
		p := reflect.PointerTo(t)
		for _, own := range unmarshalers {
			if p.Implements(own) {
				return nil
			}
		}
		if t.Kind() != reflect.Pointer {
			return t
		}
	}
	return nil
}

var unmarshalers = []reflect.Type{
	reflect.TypeFor[encoding.TextUnmarshaler](),
	reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[json.UnmarshalerFrom](),
}

// canonical reports whether a JSON number, which has no leading zero and no plus, is an integer that documents may
// have.
func canonical(number string) bool {
	n, err := strconv.ParseUint(number, 10, 64)
	return err == nil && n <= maxNumber
}
