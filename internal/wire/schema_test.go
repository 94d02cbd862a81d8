package wire

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"
)

// schemaTypes are the fields' types in frame.proto.
var schemaTypes = [...]string{
	kindField:         "Kind",
	epochField:        "uint64",
	seqField:          "uint64",
	tagField:          "bytes",
	laneField:         "bytes",
	hashField:         "bytes",
	sizeField:         "uint64",
	nextField:         "uint64",
	lowField:          "uint64",
	largestReplyField: "uint64",
	remainingField:    "uint64",
	possiblySeenField: "bool",
	ofField:           "Leg",
	deliveredField:    "bool",
	retryAfterField:   "uint64",
	delayField:        "Delay",
	refusalField:      "Refusal",
	knownField:        "uint64",
	textField:         "string",
}

// headerDescriptor is the message of frame.proto, built by hand: protobuf's own
// code can then read and write our headers.
func headerDescriptor(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	message := &descriptorpb.DescriptorProto{Name: proto.String("Header")}
	for n := kindField; n <= textField; n++ {
		f := &descriptorpb.FieldDescriptorProto{
			Name:   proto.String(fieldNames[n]),
			Number: proto.Int32(int32(n)),
			Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		switch schemaTypes[n] {
		case "uint64":
			f.Type = descriptorpb.FieldDescriptorProto_TYPE_UINT64.Enum()
		case "bool":
			f.Type = descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum()
		case "bytes":
			f.Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
		case "string":
			f.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
		default:
			f.Type = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum()
			f.TypeName = proto.String(".parley.wire.v1." + schemaTypes[n])
		}
		message.Field = append(message.Field, f)
	}
	enum := func(name string, values []string) *descriptorpb.EnumDescriptorProto {
		e := &descriptorpb.EnumDescriptorProto{Name: proto.String(name)}
		for i, value := range values {
			e.Value = append(e.Value, &descriptorpb.EnumValueDescriptorProto{
				Name: proto.String(schemaValue(name, value)), Number: proto.Int32(int32(i))})
		}
		return e
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:        proto.String("parley/wire/v1/frame.proto"),
		Package:     proto.String("parley.wire.v1"),
		Syntax:      proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{message},
		EnumType: []*descriptorpb.EnumDescriptorProto{
			enum("Kind", kindNames[:]), enum("Leg", ofNames[:]),
			enum("Delay", delayNames[:]), enum("Refusal", refusalNames[:]),
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().ByName("Header")
}

func schemaValue(enum, value string) string {
	if value == "" {
		value = "UNSPECIFIED"
	}
	return strings.ToUpper(enum) + "_" + value
}

func TestProtobufReadsAndWritesTheSameBytes(t *testing.T) {
	header := headerDescriptor(t)
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t)
		ours := f.appendHeader(nil)

		m := dynamicpb.NewMessage(header)
		if err := proto.Unmarshal(ours, m); err != nil {
			t.Fatal(err)
		}
		if unknown := m.GetUnknown(); len(unknown) > 0 {
			t.Fatalf("fields that the schema doesn't have: %x", unknown)
		}
		for n := kindField; n <= textField; n++ {
			compareField(t, &f, n, m.Get(header.Fields().ByNumber(n)))
		}

		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirs, ours) {
			t.Fatalf("protobuf writes\n%x, we write\n%x", theirs, ours)
		}
		if back, err := DecodeHeader(theirs); err != nil || back != f {
			t.Fatalf("read back as %+v, %v; want %+v", back, err, f)
		}
	})
}

func compareField(t *rapid.T, f *Frame, n field, got protoreflect.Value) {
	ok := false
	switch schemaTypes[n] {
	case "uint64":
		ok = got.Uint() == f.number(n)
	case "bool":
		ok = bit(got.Bool()) == f.number(n)
	case "bytes":
		want := map[field][]byte{tagField: f.Tag[:], laneField: []byte(f.Lane), hashField: f.Hash[:]}[n]
		ok = bytes.Equal(got.Bytes(), want) || len(got.Bytes()) == 0 && len(bytes.Trim(want, "\x00")) == 0
	case "string":
		ok = got.String() == f.Text
	default:
		ok = uint64(got.Enum()) == f.number(n)
	}
	if !ok {
		t.Fatalf("protobuf reads %s as %v in %+v", fieldNames[n], got, *f)
	}
}

func TestSchemaFileListsTheFieldsAndNames(t *testing.T) {
	schema, err := os.ReadFile("../../proto/parley/wire/v1/frame.proto")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for n := kindField; n <= textField; n++ {
		lines = append(lines, fmt.Sprintf("%s %s = %d;", schemaTypes[n], fieldNames[n], n))
	}
	for enum, values := range map[string][]string{"Kind": kindNames[:], "Leg": ofNames[:], "Delay": delayNames[:], "Refusal": refusalNames[:]} {
		lines = append(lines, fmt.Sprintf("enum %s {", enum))
		for i, value := range values {
			lines = append(lines, fmt.Sprintf("%s = %d;", schemaValue(enum, value), i))
		}
	}
	for _, line := range lines {
		if strings.Count(string(schema), "\n  "+line) != 1 && strings.Count(string(schema), "\n"+line) != 1 {
			t.Errorf("frame.proto lacks %q", line)
		}
	}
}
