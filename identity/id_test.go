package identity_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-p2p/parley/identity"
)

func parse(t *testing.T, text string) identity.ID {
	t.Helper()
	id, err := identity.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestParseIDReadsEveryForm(t *testing.T) {
	for _, text := range []string{specEd25519ID, specSecp256k1ID} {
		raw, err := peer.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		cid := peer.ToCid(raw)
		base36, err := cid.StringOfBase('k')
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{text, cid.String(), base36} {
			if got := parse(t, form); got.String() != text {
				t.Errorf("%s: got %v, want %s", form, got, text)
			}
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", identity.ErrInvalidID},
		{"a name", "alice", identity.ErrInvalidID},
		{"an RSA ID", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", identity.ErrUnsupported},
		{"an RSA ID as CID", "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", identity.ErrUnsupported},
		{"a CID of something else", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", identity.ErrInvalidID},
		{"a lost character", specEd25519ID[:len(specEd25519ID)-1], identity.ErrInvalidID},
		{"a space", " " + specEd25519ID, identity.ErrInvalidID},
		{"a /p2p/ part", "/p2p/" + specEd25519ID, identity.ErrInvalidID},
		{"an endless text", strings.Repeat("1", 1<<20), identity.ErrInvalidID},
	} {
		if id, err := identity.ParseID(test.text); !errors.Is(err, test.want) || !id.IsZero() {
			t.Errorf("%s: got %v, %v, want %v", test.name, id, err, test.want)
		}
	}
}

// TestFromBytesRefusesSecondSpellings makes peer IDs that hold a key of an
// accepted kind in other bytes than libp2p would: were they taken, one peer
// could have several IDs.
func TestFromBytesRefusesSecondSpellings(t *testing.T) {
	identityMultihash := func(digest []byte) []byte {
		return append(protowire.AppendVarint([]byte{0}, uint64(len(digest))), digest...)
	}
	public := parse(t, specEd25519ID).Bytes()[2:]
	for name, multihash := range map[string][]byte{
		"empty":                  nil,
		"a field more":           identityMultihash(append(slices.Clone(public), 0x18, 0)),
		"fields in other order":  identityMultihash(append(slices.Clone(public[2:]), public[:2]...)),
		"a byte behind":          append(parse(t, specEd25519ID).Bytes(), 0),
		"no key":                 identityMultihash([]byte("hello")),
		"a point not on a curve": identityMultihash(append([]byte{8, byte(pb.KeyType_Secp256k1), 0x12, 33, 2}, make([]byte, 32)...)),
	} {
		if id, err := identity.FromBytes(multihash); !errors.Is(err, identity.ErrInvalidID) || !id.IsZero() {
			t.Errorf("%s: got %v, %v", name, id, err)
		}
	}
	if _, err := identity.FromBytes(identityMultihash(mustMarshalRSA(t))); !errors.Is(err, identity.ErrUnsupported) && !errors.Is(err, identity.ErrInvalidID) {
		t.Errorf("an RSA key: %v", err)
	}
}

func mustMarshalRSA(t *testing.T) []byte {
	t.Helper()
	_, public, err := crypto.GenerateKeyPair(crypto.RSA, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := crypto.MarshalPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestIDIsAKeyOfMapsAndOfText(t *testing.T) {
	id := parse(t, specEd25519ID)
	names := map[identity.ID]string{id: "alice"}
	encoded, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"` + specEd25519ID + `":"alice"}`; string(encoded) != want {
		t.Errorf("got %s, want %s", encoded, want)
	}
	var decoded map[identity.ID]string
	if err := json.Unmarshal(encoded, &decoded); err != nil || decoded[id] != "alice" {
		t.Errorf("got %v, %v", decoded, err)
	}

	var zero identity.ID
	if err := json.Unmarshal([]byte(`""`), &zero); err != nil || !zero.IsZero() || zero.String() != "" || zero.Short() != "" {
		t.Errorf("the zero ID doesn't come back: %v, %v", zero, err)
	}
	if err := json.Unmarshal([]byte(`"alice"`), &zero); !errors.Is(err, identity.ErrInvalidID) || !zero.IsZero() {
		t.Errorf("a name: %v, %v", zero, err)
	}
}

func TestShortFitsATable(t *testing.T) {
	if got, want := parse(t, specEd25519ID).Short(), "12D3…o7R3pq"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCompareOrdersAsTheTextsAre(t *testing.T) {
	var ids []identity.ID
	for range 50 {
		ids = append(ids, generate(t, identity.Ed25519).PeerID(), generate(t, identity.Secp256k1).PeerID())
	}
	slices.SortFunc(ids, identity.ID.Compare)
	if !slices.IsSortedFunc(ids, func(a, b identity.ID) int { return strings.Compare(a.String(), b.String()) }) {
		t.Error("the texts are in another order")
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(specEd25519ID)
	f.Add(specSecp256k1ID)
	f.Add("bafzaajaiaejcaufgg6gwl2n2vtlg5ndt2n7kyn3b7gcp2xqnaxnpskbcqyyrmj6h")
	f.Add("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := identity.ParseID(text)
		if err != nil {
			if !errors.Is(err, identity.ErrInvalidID) && !errors.Is(err, identity.ErrUnsupported) {
				t.Fatalf("an error without a type: %v", err)
			}
			return
		}
		if again, err := identity.ParseID(id.String()); err != nil || again != id {
			t.Fatalf("%v doesn't come back: %v, %v", id, again, err)
		}
		if again, err := identity.FromBytes(id.Bytes()); err != nil || again != id {
			t.Fatalf("%v doesn't come back from its bytes: %v, %v", id, again, err)
		}
	})
}
