import pytest

from xturing.data import encode
from xturing.models import GenericModel
from xturing.train import held_out_loss


def test_totals_add_up(tiny_folder, rows):
    model = GenericModel(tiny_folder)
    examples = encode(rows, model.engine.tokenizer, max_length=128).examples

    def loss(part):
        return held_out_loss(model.engine.model, part, pad_id=2, batch_size=4)

    whole, first, rest = loss(examples), loss(examples[:5]), loss(examples[5:])
    assert whole.tokens == first.tokens + rest.tokens
    assert whole.nats == pytest.approx(first.nats + rest.nats, rel=1e-6)
