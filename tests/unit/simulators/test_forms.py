from typing import Any

import pytest

from simulators.stripe.errors import StripeError
from simulators.stripe.forms import Params, decode


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ("", {}),
        ("amount=5&currency=usd", {"amount": "5", "currency": "usd"}),
        ("metadata[order_id]=o-1&metadata[a]=", {"metadata": {"order_id": "o-1", "a": ""}}),
        ("expand[0]=a&expand[1]=b", {"expand": ["a", "b"]}),
        ("expand[]=a&expand[]=b", {"expand": ["a", "b"]}),
        (
            "items[0][price][amount]=1&items[1][price][amount]=2",
            {"items": [{"price": {"amount": "1"}}, {"price": {"amount": "2"}}]},
        ),
        ("name=a%20b%26c", {"name": "a b&c"}),
    ],
)
def test_brackets_become_nested_values(raw: str, values: dict[str, Any]) -> None:
    assert decode(raw) == values


def test_a_value_that_is_both_text_and_object_is_refused() -> None:
    with pytest.raises(StripeError):
        decode("a=1&a[b]=2")


@pytest.mark.parametrize("text", ["1.5", "1e3", "", "0x10", "١٢"])
def test_only_whole_ascii_numbers_are_amounts(text: str) -> None:
    params = Params({"amount": text})
    if text == "":
        assert params.integer("amount") is None
        return
    with pytest.raises(StripeError) as caught:
        params.integer("amount")
    assert caught.value.body["error"]["param"] == "amount"


def test_errors_name_nested_parameters() -> None:
    with pytest.raises(StripeError) as caught:
        Params({"data": {"metadata": {"k": "v" * 501}}}).group("data").metadata()
    assert caught.value.body["error"]["param"] == "data[metadata][k]"
